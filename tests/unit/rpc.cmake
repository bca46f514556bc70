# The oracle: the same schema as protobuf-c's generator understands it.
include(MsubProtos)
get_filename_component(rpc_proto "${CMAKE_CURRENT_SOURCE_DIR}/../proto" ABSOLUTE)
msub_protos(generated "${rpc_proto}" rpc)
add_library(msub_rpc_oracle STATIC ${generated})
target_include_directories(msub_rpc_oracle SYSTEM PUBLIC "${CMAKE_CURRENT_BINARY_DIR}/proto")
target_link_libraries(msub_rpc_oracle PUBLIC PkgConfig::PROTOBUF_C)

msub_program_test(unit.rpc-differential TIER quick SOURCES test_rpc_differential.c rpc_random.c
  LIBS msub_rpc_oracle meshsub_static)
msub_criterion_test(unit.rpc TIER quick SOURCES test_rpc.c rpc_random.c LIBS meshsub_static)
if(TARGET unit.rpc) # not under TSan
  target_link_options(unit.rpc PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc)
endif()
