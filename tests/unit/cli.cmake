# The meshsub command: its errors word for word, and what it does.
find_program(MSUB_PYTHON3 python3)
if(MSUB_BUILD_TESTS AND MSUB_PYTHON3 AND TARGET meshsub-cli)
  foreach(part errors flow rendezvous)
    add_test(NAME unit.cli-${part}
      COMMAND ${MSUB_PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/cli_${part}.py" $<TARGET_FILE:meshsub-cli>)
    set_tests_properties(unit.cli-${part} PROPERTIES LABELS "quick;unit" TIMEOUT 120 RESOURCE_LOCK net
      ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
  endforeach()
  add_test(NAME unit.cli-socket
    COMMAND ${MSUB_PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/cli_socket.py" $<TARGET_FILE:meshsub-cli> "${CMAKE_SOURCE_DIR}/examples")
  set_tests_properties(unit.cli-socket PROPERTIES LABELS "quick;unit" TIMEOUT 120 RESOURCE_LOCK net
    ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;MESHSUB_SANITIZE=${MSUB_SANITIZE}")
  add_test(NAME unit.cli-config
    COMMAND ${MSUB_PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/cli_config.py" $<TARGET_FILE:meshsub-cli> "${CMAKE_SOURCE_DIR}/docs/cli.md")
  set_tests_properties(unit.cli-config PROPERTIES LABELS "quick;unit" TIMEOUT 120 RESOURCE_LOCK net ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
  add_test(NAME unit.cli-http
    COMMAND ${MSUB_PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/cli_http.py" $<TARGET_FILE:meshsub-cli> "${CMAKE_SOURCE_DIR}/docs/operations.md")
  set_tests_properties(unit.cli-http PROPERTIES LABELS "quick;unit" TIMEOUT 120 RESOURCE_LOCK net ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
  if(NOT CMAKE_CROSSCOMPILING)
    add_test(NAME unit.cli-man COMMAND ${MSUB_PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/cli_man.py" $<TARGET_FILE:meshsub-cli> "${CMAKE_BINARY_DIR}")
    set_tests_properties(unit.cli-man PROPERTIES LABELS "quick;unit" TIMEOUT 120 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
  endif()
  add_test(NAME unit.cli-start
    COMMAND ${MSUB_PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/cli_start.py" $<TARGET_FILE:meshsub-cli>)
  set_tests_properties(unit.cli-start PROPERTIES LABELS "quick;unit" TIMEOUT 120 RESOURCE_LOCK net ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
  add_test(NAME unit.cli-socket-stalled
    COMMAND ${MSUB_PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/cli_socket.py" $<TARGET_FILE:meshsub-cli> "${CMAKE_SOURCE_DIR}/examples" stalled)
  set_tests_properties(unit.cli-socket-stalled PROPERTIES LABELS "normal;unit" TIMEOUT 300 RESOURCE_LOCK net ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
  if(TARGET meshsub-store)
    add_test(NAME unit.cli-known COMMAND ${MSUB_PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/cli_known.py" $<TARGET_FILE:meshsub-cli>)
    set_tests_properties(unit.cli-known PROPERTIES LABELS "quick;unit" TIMEOUT 120 RESOURCE_LOCK net ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
    set(preload)
    if(NOT MSUB_SANITIZE) # whose own library has to be the first
      add_library(fail_sync MODULE ../support/fail_sync.c)
      target_link_libraries(fail_sync PRIVATE ${CMAKE_DL_LIBS})
      set(preload $<TARGET_FILE:fail_sync>)
    endif()
    add_test(NAME unit.cli-store COMMAND ${MSUB_PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/cli_store.py" $<TARGET_FILE:meshsub-cli> ${preload})
    set_tests_properties(unit.cli-store PROPERTIES LABELS "quick;unit" TIMEOUT 120 RESOURCE_LOCK net ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
  endif()
  add_test(NAME unit.cli-ipns
    COMMAND ${MSUB_PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/cli_ipns.py" $<TARGET_FILE:meshsub-cli> "${CMAKE_SOURCE_DIR}/tests/vectors/ipns.json")
  set_tests_properties(unit.cli-ipns PROPERTIES LABELS "quick;unit" TIMEOUT 120 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
  if(TARGET meshsub-store)
    add_test(NAME unit.cli-ipns-nodes COMMAND ${MSUB_PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/cli_ipns_nodes.py" $<TARGET_FILE:meshsub-cli>)
    set(routing_test ${MSUB_PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/cli_routing.py" $<TARGET_FILE:meshsub-cli> "${CMAKE_SOURCE_DIR}/tests/vectors/ipns.json"
      "${CMAKE_SOURCE_DIR}/docs/operations.md")
    add_test(NAME unit.cli-routing COMMAND ${routing_test})
    set_tests_properties(unit.cli-ipns-nodes unit.cli-routing PROPERTIES LABELS "quick;unit" TIMEOUT 240 RESOURCE_LOCK net ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
    add_test(NAME unit.cli-routing-slow COMMAND ${routing_test} slow)
    set_tests_properties(unit.cli-routing-slow PROPERTIES LABELS "normal;unit" TIMEOUT 120 RESOURCE_LOCK net ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
  endif()
  add_test(NAME unit.cli-params
    COMMAND ${MSUB_PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/cli_params.py" $<TARGET_FILE:meshsub-cli> "${CMAKE_SOURCE_DIR}/examples/profiles")
  set_tests_properties(unit.cli-params PROPERTIES LABELS "quick;unit" TIMEOUT 120 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
endif()
if(TARGET msub_program)
  msub_criterion_test(unit.cli-outlet TIER quick SOURCES test_outlet.c LIBS msub_program msub_foundation)
endif()
