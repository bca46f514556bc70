if(COMMAND msub_fuzz AND TARGET msub_store_disk_test)
  msub_fuzz(store_log SOURCES fuzz_store_log.c LIBS msub_store_disk_test)
endif()
