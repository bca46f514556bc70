# Fuzz targets. A source defines LLVMFuzzerTestOneInput(); it becomes
#   fuzz.NAME   always: replays tests/fuzz/corpus/NAME/ in every test run, with any compiler
#   fuzz_NAME   with MSUB_BUILD_FUZZ (clang): the libFuzzer program; run it as  fuzz_NAME CORPUS_COPY
# msub_fuzz(multiaddr SOURCES fuzz_multiaddr.c LIBS meshsub_static)
include_guard(GLOBAL)

if(MSUB_BUILD_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "MSUB_BUILD_FUZZ needs clang: libFuzzer is part of it")
  endif()
  # Everything is instrumented, so that the fuzzer sees which code an input reaches.
  target_compile_options(msub_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(msub_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

function(msub_fuzz name)
  cmake_parse_arguments(F "" "" "SOURCES;LIBS" ${ARGN})
  set(home "${CMAKE_SOURCE_DIR}/tests/fuzz")
  msub_program_test(fuzz.${name} TIER quick SOURCES ${F_SOURCES} "${home}/replay_main.c" LIBS ${F_LIBS}
    ARGS "${home}/corpus/${name}")
  if(MSUB_BUILD_FUZZ)
    add_executable(fuzz_${name} ${F_SOURCES})
    target_link_libraries(fuzz_${name} PRIVATE msub_flags ${F_LIBS})
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/fuzz")
  endif()
endfunction()
