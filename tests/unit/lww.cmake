if(TARGET meshsub-lww_static)
  msub_criterion_test(unit.ipns TIER quick SOURCES test_ipns.c LIBS meshsub-lww_static)
endif()
