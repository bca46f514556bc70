# Each folder is one object library (msub_part); a public library is made of parts, once shared (what is installed, only
# MSUB_API symbols visible) and once static (what the tests link, so that they see everything).
#
#   msub_part(base SOURCES a.c b.c LIBS PkgConfig::XXHASH)   -> object library msub_base
#       PUBLIC a.c: those of the sources that define MSUB_API functions, when the part is linked HIDDEN somewhere
#   msub_library(meshsub PARTS base multiformats … LIBS …)   -> meshsub (shared), meshsub_static
include_guard(GLOBAL)

function(msub_part name)
  cmake_parse_arguments(P "" "" "SOURCES;PUBLIC;LIBS" ${ARGN})
  add_library(msub_${name} OBJECT ${P_SOURCES})
  target_link_libraries(msub_${name} PRIVATE msub_flags ${P_LIBS})
  set_property(TARGET msub_${name} PROPERTY MSUB_LIBS "${P_LIBS}")
  string(REPLACE ";" "|" public "${P_PUBLIC}")
  string(REPLACE "." "[.]" public "${public}")
  set_property(TARGET msub_${name} PROPERTY MSUB_PUBLIC "/(${public})[.]o(bj)?$")
endfunction()

# PARTS: object libraries inside the shared library. HIDDEN: parts that another public library holds too (base): they are
# linked into the shared library privately, without their public functions, which come from that other library, and left out
# of the static one. LIBS: public libraries it depends on.
function(msub_library name)
  cmake_parse_arguments(P "" "" "PARTS;HIDDEN;LIBS" ${ARGN})
  set(shared_objects "")
  set(static_objects "")
  set(external "")
  foreach(part ${P_PARTS})
    list(APPEND shared_objects $<TARGET_OBJECTS:msub_${part}>)
    list(APPEND static_objects $<TARGET_OBJECTS:msub_${part}>)
    get_target_property(libs msub_${part} MSUB_LIBS)
    list(APPEND external ${libs})
  endforeach()
  foreach(part ${P_HIDDEN})
    get_target_property(public msub_${part} MSUB_PUBLIC)
    list(APPEND shared_objects $<FILTER:$<TARGET_OBJECTS:msub_${part}>,EXCLUDE,${public}>)
    get_target_property(libs msub_${part} MSUB_LIBS)
    list(APPEND external ${libs})
  endforeach()
  list(REMOVE_DUPLICATES external)
  list(REMOVE_ITEM external "")
  add_library(${name} SHARED ${shared_objects})
  add_library(${name}_static STATIC ${static_objects})
  set(shared_deps "")
  set(static_deps "")
  foreach(lib ${P_LIBS})
    list(APPEND shared_deps ${lib})
    list(APPEND static_deps ${lib}_static)
  endforeach()
  target_link_libraries(${name} PUBLIC ${shared_deps} PRIVATE ${external} msub_flags)
  target_link_libraries(${name}_static PUBLIC ${static_deps} ${external} PRIVATE msub_flags)
  target_link_options(${name} PRIVATE -Wl,--as-needed) # xxhash is inlined, for one
  foreach(t ${name} ${name}_static)
    target_include_directories(${t} PUBLIC
      $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  endforeach()
  set_target_properties(${name} PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
endfunction()
