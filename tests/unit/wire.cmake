foreach(name multistream noise yamux yamux_pair identify dns)
  string(REPLACE "_" "-" test ${name})
  msub_criterion_test(unit.${test} TIER quick SOURCES test_${name}.c LIBS msub_wire_test)
endforeach()
