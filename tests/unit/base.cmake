include("${CMAKE_SOURCE_DIR}/tests/support/below.cmake")

msub_criterion_test(unit.base TIER quick SOURCES test_base.c LIBS msub_foundation)
msub_criterion_test(unit.wheel TIER quick SOURCES test_wheel.c ../support/count_mem.c LIBS msub_foundation)
if(TARGET unit.wheel)
  target_include_directories(unit.wheel PRIVATE ../support)
endif()
msub_criterion_test(unit.multiformats TIER quick SOURCES test_multiformats.c LIBS msub_foundation)
msub_criterion_test(unit.crypto TIER quick SOURCES test_crypto.c LIBS msub_foundation)
