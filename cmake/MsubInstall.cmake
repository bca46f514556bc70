# What `cmake --install` and `cpack -G DEB` leave. One runtime and one development component per library: who wants the engine
# alone does not get the host's dependencies. Each library has an export set of its own for the same reason; meshsubConfig.cmake
# reads those that are installed.
include_guard(GLOBAL)
include(CMakePackageConfigHelpers)

set(MSUB_CMAKE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/meshsub")

# msub_install(meshsub-crypto NAME crypto DESCRIPTION "…" HEADERS crypto.h REQUIRES "meshsub" REQUIRES_PRIVATE "…" LIBS_PRIVATE "…"
#              DEPENDS libmeshsub DEV_PACKAGES "libsodium-dev, …")
# NAME is the target's name for find_package: meshsub::NAME. DEPENDS: runtime components that it needs.
function(msub_install target)
  cmake_parse_arguments(I "" "NAME;DESCRIPTION;REQUIRES;REQUIRES_PRIVATE;LIBS_PRIVATE;DEV_PACKAGES" "HEADERS;DEPENDS" ${ARGN})
  set(component "lib${target}")
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${I_NAME})
  add_library(meshsub::${I_NAME} ALIAS ${target})

  install(TARGETS ${target} EXPORT ${target}Targets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT ${component} NAMELINK_COMPONENT ${component}-dev)
  install(EXPORT ${target}Targets NAMESPACE meshsub:: DESTINATION ${MSUB_CMAKE_DIR} COMPONENT ${component}-dev)
  list(TRANSFORM I_HEADERS PREPEND "${CMAKE_SOURCE_DIR}/include/meshsub/")
  install(FILES ${I_HEADERS} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/meshsub COMPONENT ${component}-dev)

  # Relative to the .pc file, so that an installed tree can be moved.
  file(RELATIVE_PATH MSUB_PC_PREFIX
    "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
  string(REGEX REPLACE "/$" "" MSUB_PC_PREFIX "${MSUB_PC_PREFIX}")
  set(MSUB_PC_NAME ${target})
  foreach(key DESCRIPTION REQUIRES REQUIRES_PRIVATE LIBS_PRIVATE)
    set(MSUB_PC_${key} "${I_${key}}")
  endforeach()
  configure_file(${CMAKE_SOURCE_DIR}/cmake/install/meshsub.pc.in ${CMAKE_BINARY_DIR}/install/${target}.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/install/${target}.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT ${component}-dev)

  set_property(GLOBAL APPEND PROPERTY MSUB_COMPONENTS ${component} ${component}-dev)
  set(dev_depends ${component})
  foreach(d ${I_DEPENDS})
    list(APPEND dev_depends ${d}-dev)
  endforeach()
  set_property(GLOBAL PROPERTY MSUB_${component}_DEPENDS ${I_DEPENDS})
  set_property(GLOBAL PROPERTY MSUB_${component}-dev_DEPENDS ${dev_depends})
  set_property(GLOBAL PROPERTY MSUB_${component}_TEXT "${I_DESCRIPTION}")
  set_property(GLOBAL PROPERTY MSUB_${component}-dev_TEXT "${I_DESCRIPTION} (development files)")
  set_property(GLOBAL PROPERTY MSUB_${component}-dev_PACKAGES "${I_DEV_PACKAGES}")
endfunction()

# Every public header but those of the libraries on top belongs to the engine's.
file(GLOB MSUB_ENGINE_HEADERS CONFIGURE_DEPENDS RELATIVE "${CMAKE_SOURCE_DIR}/include/meshsub" "${CMAKE_SOURCE_DIR}/include/meshsub/*.h")
list(REMOVE_ITEM MSUB_ENGINE_HEADERS crypto.h fetch.h host.h ipns.h rendezvous.h sim.h store_disk.h trace_file.h trace_peer.h)

if(TARGET meshsub)
  msub_install(meshsub NAME meshsub
    DESCRIPTION "libp2p publish/subscribe engine without I/O"
    HEADERS ${MSUB_ENGINE_HEADERS}) # xxhash is compiled in
endif()
if(TARGET meshsub-crypto)
  msub_install(meshsub-crypto NAME crypto
    DESCRIPTION "libp2p keys, signatures and envelopes"
    HEADERS crypto.h
    REQUIRES "meshsub = ${PROJECT_VERSION}" REQUIRES_PRIVATE "libsodium, libcrypto >= 3.0, libsecp256k1, libprotobuf-c"
    DEPENDS libmeshsub DEV_PACKAGES "libsodium-dev, libssl-dev, libsecp256k1-dev, libprotobuf-c-dev")
endif()
if(TARGET meshsub-lww)
  msub_install(meshsub-lww NAME lww
    DESCRIPTION "IPNS names, records and the fetch protocol for the meshsub engine"
    HEADERS fetch.h ipns.h
    REQUIRES "meshsub = ${PROJECT_VERSION}, meshsub-crypto = ${PROJECT_VERSION}"
    DEPENDS libmeshsub libmeshsub-crypto)
endif()
if(TARGET meshsub-store)
  msub_install(meshsub-store NAME store
    DESCRIPTION "store on disk for the meshsub engine"
    HEADERS store_disk.h
    REQUIRES "meshsub = ${PROJECT_VERSION}" REQUIRES_PRIVATE lmdb LIBS_PRIVATE -pthread
    DEPENDS libmeshsub DEV_PACKAGES "liblmdb-dev")
endif()
if(TARGET meshsub-host)
  # NNG installs no .pc file.
  msub_install(meshsub-host NAME host
    DESCRIPTION "libp2p host on TCP for the meshsub engine"
    HEADERS host.h rendezvous.h trace_file.h trace_peer.h
    REQUIRES "meshsub = ${PROJECT_VERSION}, meshsub-crypto = ${PROJECT_VERSION}" REQUIRES_PRIVATE zlib LIBS_PRIVATE "-lnng -pthread"
    DEPENDS libmeshsub libmeshsub-crypto DEV_PACKAGES "libnng-dev, zlib1g-dev")
endif()

if(TARGET meshsub-sim)
  msub_install(meshsub-sim NAME sim
    DESCRIPTION "virtual time for the meshsub engine"
    HEADERS sim.h
    REQUIRES "meshsub = ${PROJECT_VERSION}"
    DEPENDS libmeshsub)
endif()

if(TARGET meshsub)
  configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/install/meshsubConfig.cmake.in
    ${CMAKE_BINARY_DIR}/install/meshsubConfig.cmake INSTALL_DESTINATION ${MSUB_CMAKE_DIR} NO_SET_AND_CHECK_MACRO)
  write_basic_package_version_file(${CMAKE_BINARY_DIR}/install/meshsubConfigVersion.cmake
    VERSION ${PROJECT_VERSION} COMPATIBILITY SameMajorVersion)
  install(FILES ${CMAKE_BINARY_DIR}/install/meshsubConfig.cmake ${CMAKE_BINARY_DIR}/install/meshsubConfigVersion.cmake
    DESTINATION ${MSUB_CMAKE_DIR} COMPONENT libmeshsub-dev)
endif()

# ---- .deb packages: cpack -G DEB in the build folder ----
get_property(components GLOBAL PROPERTY MSUB_COMPONENTS)
# A Debian package carries its licences.
foreach(c ${components})
  install(FILES LICENSE-MIT LICENSE-APACHE NOTICE DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/${c} COMPONENT ${c})
endforeach()
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME meshsub)
set(CPACK_PACKAGE_VENDOR "meshsub")
set(CPACK_PACKAGE_CONTACT "the meshsub authors <meshsub@invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "libp2p publish/subscribe engine")
set(CPACK_COMPONENTS_ALL ${components})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS ON)
foreach(c ${components})
  string(TOUPPER "${c}" upper)
  get_property(text GLOBAL PROPERTY MSUB_${c}_TEXT)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${c})
  set(CPACK_DEBIAN_${upper}_DESCRIPTION "${text}")
  if(c MATCHES "-dev$")
    get_property(packages GLOBAL PROPERTY MSUB_${c}_PACKAGES)
    if(packages)
      set(CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS "${packages}")
    endif()
    set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION libdevel)
  else()
    # What the library needs at run time is read from it; its sisters, which dpkg does not know yet, lie in lib/.
    set(CPACK_DEBIAN_${upper}_PACKAGE_SHLIBDEPS ON)
  endif()
endforeach()
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS "${CMAKE_BINARY_DIR}/lib")
include(CPack)
foreach(c ${components})
  get_property(depends GLOBAL PROPERTY MSUB_${c}_DEPENDS)
  get_property(text GLOBAL PROPERTY MSUB_${c}_TEXT)
  cpack_add_component(${c} DESCRIPTION "${text}" DEPENDS ${depends})
endforeach()
