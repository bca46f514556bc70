msub_criterion_test(unit.randomsub TIER quick SOURCES test_randomsub.c ../support/engine_world.c ../support/count_mem.c LIBS meshsub-crypto_static)
if(TARGET unit.randomsub)
  target_include_directories(unit.randomsub PRIVATE ../support)
endif()
