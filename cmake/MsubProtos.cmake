# msub_protos(OUT FOLDER NAME…): OUT becomes the C of FOLDER/NAME.proto, generated at build time and compiled without our warnings. The headers are in
# CMAKE_CURRENT_BINARY_DIR/proto.
include_guard(GLOBAL)
find_program(MSUB_PROTOC_C protoc-c REQUIRED)

function(msub_protos out folder)
  set(generated "")
  foreach(name ${ARGN})
    set(stem "${CMAKE_CURRENT_BINARY_DIR}/proto/${name}.pb-c")
    add_custom_command(
      OUTPUT "${stem}.c" "${stem}.h"
      COMMAND ${CMAKE_COMMAND} -E make_directory "${CMAKE_CURRENT_BINARY_DIR}/proto"
      COMMAND ${MSUB_PROTOC_C} "--proto_path=${folder}" "--c_out=${CMAKE_CURRENT_BINARY_DIR}/proto" "${name}.proto"
      DEPENDS "${folder}/${name}.proto"
      COMMENT "Generating ${name}.pb-c" VERBATIM)
    set_source_files_properties("${stem}.c" PROPERTIES COMPILE_OPTIONS -w)
    list(APPEND generated "${stem}.c")
  endforeach()
  set(${out} "${generated}" PARENT_SCOPE)
endfunction()
