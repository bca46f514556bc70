# The libraries of another machine, unpacked from its packages below MSUB_FOREIGN (scripts/portable), linked statically: nothing of them has to be
# installed here.
include_guard(GLOBAL)
file(GLOB foreign_libs "${MSUB_FOREIGN}/usr/lib/*-linux-gnu*")
list(LENGTH foreign_libs n)
if(NOT n EQUAL 1)
  message(FATAL_ERROR "MSUB_FOREIGN: no usr/lib/MACHINE-linux-gnu below ${MSUB_FOREIGN}")
endif()
get_filename_component(foreign_machine "${foreign_libs}" NAME)

function(msub_foreign target library)
  add_library(${target} STATIC IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES IMPORTED_LOCATION "${foreign_libs}/lib${library}.a"
    INTERFACE_INCLUDE_DIRECTORIES "${MSUB_FOREIGN}/usr/include;${MSUB_FOREIGN}/usr/include/${foreign_machine}")
endfunction()
msub_foreign(PkgConfig::JANSSON jansson)
msub_foreign(PkgConfig::SODIUM sodium)
msub_foreign(PkgConfig::SECP256K1 secp256k1)
msub_foreign(PkgConfig::PROTOBUF_C protobuf-c)
msub_foreign(OpenSSL::Crypto crypto)
