msub_program_test(vectors.go-gater TIER quick SOURCES go_gater.c ../support/engine_world.c ../support/count_mem.c
  LIBS msub_vectors meshsub-crypto_static)
if(TARGET vectors.go-gater)
  target_include_directories(vectors.go-gater PRIVATE ../support)
endif()
