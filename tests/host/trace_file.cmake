if(MSUB_BUILD_TESTS AND TARGET meshsub-host_static)
  msub_case_tests(unit.trace-file TIER quick PROGRAM trace_file SOURCES test_trace_file.c ../support/engine_world.c ../support/count_mem.c
    ../support/check.c LIBS meshsub-host_static Threads::Threads PkgConfig::ZLIB CASES records lines full resumed live large options)
  target_include_directories(test_trace_file PRIVATE ../support)
endif()
