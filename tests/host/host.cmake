# The threaded bottom of the host, then hosts in one process over real sockets on loopback.
function(msub_host_test name)
  cmake_parse_arguments(H "" "SECONDS" "SOURCES" ${ARGN})
  msub_program_test(${name} TIER quick TIMEOUT ${H_SECONDS} SOURCES ${H_SOURCES} ../support/check.c
    LIBS meshsub-host_static Threads::Threads)
  target_include_directories(${name} PRIVATE ../support)
endfunction()
# SECONDS: what a case may take, when that is more than usual. TIER: quick, when nothing else is said.
function(msub_host_cases prefix program)
  cmake_parse_arguments(H "" "SECONDS;TIER;ENV" "CASES;SOURCES" ${ARGN})
  if(NOT H_TIER)
    set(H_TIER quick)
  endif()
  msub_case_tests(${prefix} TIER ${H_TIER} TIMEOUT ${H_SECONDS} ENV ${H_ENV} PROGRAM ${program} SOURCES test_${program}.c
    ../support/raw_peer.c ../support/host_node.c ../support/live_mem.c ../support/check.c ${H_SOURCES} LIBS meshsub-host_static Threads::Threads CASES ${H_CASES})
  target_include_directories(test_${program} PRIVATE ../support)
endfunction()

if(MSUB_BUILD_TESTS AND TARGET meshsub-host_static)
  msub_host_test(unit.transport SECONDS 300 SOURCES test_transport.c transport_suite.c)
  msub_host_test(unit.transport-ws SECONDS 300 SOURCES test_transport_ws.c transport_suite.c)
  if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
    msub_host_test(unit.transport-split SECONDS 300 SOURCES test_transport_split.c transport_suite.c)
    msub_host_test(unit.transport-epoll SECONDS 300 SOURCES test_transport_epoll.c transport_suite.c)
  endif()
  msub_host_test(unit.handoff SOURCES test_handoff.c)
  msub_host_test(unit.pool SOURCES test_pool.c)
  msub_host_test(unit.topic-pattern SOURCES test_topic_pattern.c)
  msub_host_test(unit.host-lanes SOURCES test_lanes.c)
  msub_host_cases(unit.host host_pair CASES connect unsigned signed big wrong_id reconnect superseded slow second_protocol own_protocols half_open
    no_descriptors stop idle stalled no_memory baseline two_routers)
  msub_host_cases(unit.host-ws host_pair ENV MESHSUB_TEST_WS=1 CASES connect big reconnect slow superseded stop idle signed)
  msub_host_cases(unit.host-ws-exchange exchange ENV MESHSUB_TEST_WS=1 CASES echo slow_reader many)
  # One row of each kind on the transport that is not the default.
  if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
    msub_host_cases(unit.host-nng host_pair ENV MESHSUB_TEST_TRANSPORT=nng CASES connect big reconnect slow half_open no_descriptors stop idle)
    msub_host_cases(unit.host-nng-raw host_raw ENV MESHSUB_TEST_TRANSPORT=nng CASES refused resets half_closes streams gone)
    msub_host_cases(unit.host-nng-exchange exchange ENV MESHSUB_TEST_TRANSPORT=nng CASES echo slow_reader many)
    msub_host_cases(unit.host-nng-bad host_bad ENV MESHSUB_TEST_TRANSPORT=nng CASES records)
  endif()
  msub_host_cases(unit.host-raw host_raw CASES refused resets half_closes replaced again faults protocols streams gone)
  msub_host_cases(unit.exchange exchange CASES echo serve open big slow_reader many crowd budget deadline unsupported gone two_connections
    resets finish finished_early unserve freed inside no_memory)
  msub_host_cases(unit.found found CASES withdraw records foreign_record hint hints_off hint_of_dialled hint_addresses hint_flood star direct
    protect_inbound protect_outbound grace discovery discovery_stops trace metrics)
  msub_host_cases(unit.race race SOURCES ../support/clocked.c CASES race flying addrs order rest)
  msub_host_cases(unit.push push SOURCES ../support/clocked.c CASES push at_once spare)
  msub_host_cases(unit.manager manager SOURCES ../support/clocked.c CASES tags trim trim_mesh trim_off min_peers)
  msub_host_cases(unit.clock clock SOURCES ../support/wall.c CASES steps)
  msub_host_cases(unit.book book SOURCES ../support/clocked.c ../support/count_mem.c ../support/wall.c CASES restart crash seq expiry clock sources network limits stepwise bad batch
    failing no_memory)
  msub_host_cases(unit.names names SOURCES ../support/dns_server.c CASES look_up spoilt hosts dial keep freed limits_answers limits_names
    limits_message limits_many limits_threads servers filter observed observed_wire find_partitions find_limits)
  msub_host_cases(unit.anchors anchors CASES restart limits times bad full)
  msub_host_cases(unit.rendezvous rendezvous CASES codec quota ttl cookies refused sizes rate client refresh stops dialects no_memory partitions)
  msub_host_cases(unit.mdns mdns CASES messages places full known hosts packets queue answers asks interfaces addresses goodbye six)
  msub_host_cases(unit.keys keys CASES types not_taken rsa_bits options)
  msub_host_cases(unit.host-bad host_bad CASES budget lengths multistream noise records yamux identify rpc)
  msub_host_cases(unit.host-bad host_bad TIER normal CASES half_open mute)
  msub_host_cases(unit.host-limits host_limits CASES U_01_memory streams pings hellos listeners control steps records blame handshakes)
  msub_host_cases(unit.host-limits host_limits TIER normal SECONDS 300 CASES seconds steady minute)
  msub_host_cases(unit.host-regressions regressions CASES Y_01_never_reading Y_05_drip Y_08_pings Y_13_rapid Y_16_only_yamux M_06_proposals M_07_hangs
    N_11_slow_handshake I_03_slow_identify I_07_pushes U_02_stream_flood U_05_places)
  msub_host_cases(unit.limits-exchange limits_exchange SOURCES ../support/clocked.c CASES running protocols life bytes peer_bytes retry hint_dials hint_time hint_addrs
    hint_record book_peers book_addrs seek)
endif()

find_program(MSUB_PYTHON3 python3)
if(MSUB_BUILD_TESTS AND MSUB_PYTHON3 AND TARGET meshsub-cli)
  if(MSUB_SANITIZE)
    set(slow 20)
  endif()
  add_test(NAME unit.cli-names COMMAND ${MSUB_PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/cli_names.py" $<TARGET_FILE:meshsub-cli>)
  set_tests_properties(unit.cli-names PROPERTIES LABELS "quick;unit" TIMEOUT 120 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
  add_test(NAME unit.cli-mdns COMMAND ${MSUB_PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/cli_mdns.py" $<TARGET_FILE:meshsub-cli>)
  set_tests_properties(unit.cli-mdns PROPERTIES LABELS "quick;unit" TIMEOUT 120 SKIP_RETURN_CODE 77 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
  add_test(NAME unit.cli-sigterm
    COMMAND ${MSUB_PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/cli_sigterm.py" $<TARGET_FILE:meshsub-cli> ${slow})
  set_tests_properties(unit.cli-sigterm PROPERTIES LABELS "quick;unit" TIMEOUT 300 RESOURCE_LOCK net
    ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
endif()
