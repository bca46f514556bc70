# The layers under the host as they are, as libraries of their own: what is hidden in the shared libraries is visible here, and their tests build
# and run whatever state the engine is in.
if(MSUB_BUILD_TESTS)
  add_library(msub_foundation STATIC
    $<TARGET_OBJECTS:msub_base> $<TARGET_OBJECTS:msub_multiformats> $<TARGET_OBJECTS:msub_crypto>)
  target_link_libraries(msub_foundation
    PUBLIC PkgConfig::SODIUM OpenSSL::Crypto PkgConfig::SECP256K1 PkgConfig::PROTOBUF_C PRIVATE msub_flags)
  add_library(msub_wire_test STATIC $<TARGET_OBJECTS:msub_wire>)
  set_target_properties(msub_wire_test PROPERTIES LINKER_LANGUAGE C)
  target_link_libraries(msub_wire_test
    PUBLIC msub_foundation OpenSSL::Crypto PkgConfig::SODIUM PkgConfig::PROTOBUF_C PRIVATE msub_flags)
endif()
