if(COMMAND msub_fuzz AND TARGET meshsub-host_static)
  msub_fuzz(book_value SOURCES fuzz_book_value.c LIBS meshsub-host_static)
endif()
