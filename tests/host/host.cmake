# Hosts in one process, over real sockets on loopback.
if(TARGET meshsub-host_static)
  foreach(case connect unsigned signed big wrong_id reconnect superseded slow second_protocol half_open no_descriptors stop
          idle stalled no_memory baseline)
    msub_program_test(unit.host-${case} TIER quick SOURCES test_host_pair.c host_node.c LIBS meshsub-host_static Threads::Threads
                      ARGS ${case})
  endforeach()
  foreach(case refused resets half_closes replaced again faults protocols streams gone)
    msub_program_test(unit.host-raw-${case} TIER quick SOURCES test_host_raw.c raw_peer.c host_node.c
                      LIBS meshsub-host_static Threads::Threads ARGS ${case})
  endforeach()
  msub_program_test(unit.host-lanes TIER quick SOURCES test_lanes.c LIBS meshsub-host_static)
endif()
