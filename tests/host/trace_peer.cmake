if(MSUB_BUILD_TESTS AND TARGET meshsub-host_static)
  msub_case_tests(unit.trace-peer TIER quick PROGRAM trace_peer SOURCES test_trace_peer.c ../support/engine_world.c ../support/count_mem.c
    ../support/check.c LIBS meshsub-host_static Threads::Threads PkgConfig::ZLIB CASES batches slow lost options)
  target_include_directories(test_trace_peer PRIVATE ../support)
endif()
