msub_criterion_test(unit.rpc-split TIER quick SOURCES test_rpc_split.c LIBS meshsub_static)
