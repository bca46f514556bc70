if(COMMAND msub_fuzz)
  msub_fuzz(rpc SOURCES fuzz_rpc.c LIBS meshsub_static)
  msub_fuzz(frames SOURCES fuzz_frames.c LIBS meshsub_static)
endif()
