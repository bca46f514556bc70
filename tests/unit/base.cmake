# What stands below the engine, as a library of its own: these tests build and run whatever state the engine is in.
if(MSUB_BUILD_TESTS)
  add_library(msub_foundation STATIC
    $<TARGET_OBJECTS:msub_base> $<TARGET_OBJECTS:msub_multiformats> $<TARGET_OBJECTS:msub_crypto>)
  target_link_libraries(msub_foundation
    PUBLIC PkgConfig::SODIUM OpenSSL::Crypto PkgConfig::SECP256K1 PkgConfig::PROTOBUF_C PRIVATE msub_flags)
endif()

msub_criterion_test(unit.base TIER quick SOURCES test_base.c LIBS msub_foundation)
msub_criterion_test(unit.wheel TIER quick SOURCES test_wheel.c ../support/count_mem.c LIBS msub_foundation)
if(TARGET unit.wheel)
  target_include_directories(unit.wheel PRIVATE ../support)
endif()
msub_criterion_test(unit.multiformats TIER quick SOURCES test_multiformats.c LIBS msub_foundation)
msub_criterion_test(unit.crypto TIER quick SOURCES test_crypto.c LIBS msub_foundation)
