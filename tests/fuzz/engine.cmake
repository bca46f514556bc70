if(COMMAND msub_fuzz)
  msub_fuzz(engine SOURCES fuzz_engine.c LIBS meshsub_static)
  msub_fuzz(partial SOURCES fuzz_partial.c LIBS meshsub_static)
endif()
