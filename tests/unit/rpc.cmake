# The oracle: the same schema as protobuf-c's generator understands it.
find_program(MSUB_PROTOC_C protoc-c REQUIRED)
set(rpc_oracle "${CMAKE_CURRENT_BINARY_DIR}/rpc-oracle")
get_filename_component(rpc_proto "${CMAKE_CURRENT_SOURCE_DIR}/../proto" ABSOLUTE)
file(MAKE_DIRECTORY "${rpc_oracle}")
add_custom_command(
  OUTPUT "${rpc_oracle}/rpc.pb-c.c" "${rpc_oracle}/rpc.pb-c.h"
  COMMAND "${MSUB_PROTOC_C}" "--proto_path=${rpc_proto}" "--c_out=${rpc_oracle}" "${rpc_proto}/rpc.proto"
  DEPENDS "${rpc_proto}/rpc.proto" VERBATIM)
add_library(msub_rpc_oracle STATIC "${rpc_oracle}/rpc.pb-c.c") # generated: without our warnings
target_include_directories(msub_rpc_oracle SYSTEM PUBLIC "${rpc_oracle}")
target_link_libraries(msub_rpc_oracle PUBLIC PkgConfig::PROTOBUF_C)

msub_program_test(unit.rpc-differential TIER quick SOURCES test_rpc_differential.c rpc_random.c
  LIBS msub_rpc_oracle meshsub_static)
msub_criterion_test(unit.rpc TIER quick SOURCES test_rpc.c rpc_random.c LIBS meshsub_static)
if(TARGET unit.rpc) # not under TSan
  target_link_options(unit.rpc PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc)
endif()
