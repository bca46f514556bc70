# The hot paths' instruction counts: of gcc in an optimised build without sanitizers.
if(TARGET meshsub-bench AND MSUB_BUILD_TESTS AND CMAKE_C_COMPILER_ID STREQUAL "GNU" AND CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo" AND NOT MSUB_SANITIZE)
  add_test(NAME unit.instructions COMMAND "${CMAKE_SOURCE_DIR}/scripts/check-instructions" $<TARGET_FILE:meshsub-bench>)
  set_tests_properties(unit.instructions PROPERTIES LABELS "normal;unit" TIMEOUT 600 SKIP_RETURN_CODE 77)
endif()

if(TARGET meshsub-bench AND MSUB_BUILD_TESTS AND MSUB_PYTHON3 AND NOT MSUB_SANITIZE) # a sanitizer's own memory is not a node's
  add_test(NAME unit.bench-nodes COMMAND ${MSUB_PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/bench_nodes.py" $<TARGET_FILE:meshsub-bench>)
  set_tests_properties(unit.bench-nodes PROPERTIES LABELS "normal;unit" TIMEOUT 600)
endif()
