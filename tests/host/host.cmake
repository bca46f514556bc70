# The threaded bottom of the host, then hosts in one process over real sockets on loopback.
# SECONDS: what a test may take, when that is more than usual.
function(msub_host_test name)
  cmake_parse_arguments(H "" "SECONDS" "SOURCES;ARGS" ${ARGN})
  msub_program_test(${name} TIER quick TIMEOUT ${H_SECONDS} SOURCES ${H_SOURCES} check.c
    LIBS meshsub-host_static Threads::Threads ARGS ${H_ARGS})
endfunction()

if(MSUB_BUILD_TESTS AND TARGET meshsub-host_static)
  msub_host_test(unit.transport SECONDS 300 SOURCES test_transport.c transport_suite.c)
  msub_host_test(unit.handoff SOURCES test_handoff.c)
  msub_host_test(unit.pool SOURCES test_pool.c)
  foreach(case connect unsigned signed big wrong_id reconnect superseded slow second_protocol half_open no_descriptors stop
          idle stalled no_memory baseline)
    msub_host_test(unit.host-${case} SOURCES test_host_pair.c host_node.c ARGS ${case})
  endforeach()
  foreach(case refused resets half_closes replaced again faults protocols streams gone)
    msub_host_test(unit.host-raw-${case} SOURCES test_host_raw.c raw_peer.c host_node.c ARGS ${case})
  endforeach()
  msub_host_test(unit.host-lanes SOURCES test_lanes.c)
endif()
