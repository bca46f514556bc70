# The layers under the host as they are: what is hidden in the shared library is visible here.
if(MSUB_BUILD_TESTS)
  add_library(msub_wire_test STATIC $<TARGET_OBJECTS:msub_wire>)
  set_target_properties(msub_wire_test PROPERTIES LINKER_LANGUAGE C)
  target_link_libraries(msub_wire_test
    PUBLIC msub_foundation OpenSSL::Crypto PkgConfig::SODIUM PkgConfig::PROTOBUF_C PRIVATE msub_flags)
endif()

foreach(name multistream noise yamux yamux_pair identify dns)
  string(REPLACE "_" "-" test ${name})
  msub_criterion_test(unit.${test} TIER quick SOURCES test_${name}.c LIBS msub_wire_test)
endforeach()
