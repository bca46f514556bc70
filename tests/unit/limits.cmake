# Limits: each driven to one below it, at it and one above it; and none without a test.
msub_criterion_test(unit.limits TIER quick SOURCES test_limits.c ../support/engine_world.c LIBS meshsub-crypto_static)
if(TARGET unit.limits)
  target_include_directories(unit.limits PRIVATE ../support)
endif()
