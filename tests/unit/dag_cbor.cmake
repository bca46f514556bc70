msub_criterion_test(unit.dag-cbor TIER quick SOURCES test_dag_cbor.c LIBS msub_foundation)
