foreach(name multistream noise yamux yamux_pair identify dns)
  string(REPLACE "_" "-" test ${name})
  msub_criterion_test(unit.${test} TIER quick SOURCES test_${name}.c ../support/count_mem.c LIBS msub_wire_test)
  if(TARGET unit.${test}) # not under TSan
    target_include_directories(unit.${test} PRIVATE ../support)
  endif()
endforeach()
