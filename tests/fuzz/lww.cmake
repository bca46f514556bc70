if(COMMAND msub_fuzz AND TARGET meshsub-lww_static)
  msub_fuzz(ipns SOURCES fuzz_ipns.c LIBS meshsub-lww_static)
  msub_fuzz(lww_register SOURCES fuzz_lww_register.c LIBS meshsub-lww_static)
endif()
