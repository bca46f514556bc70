msub_program_test(vectors.go-signing TIER quick SOURCES go_signing.c ../support/engine_world.c ../support/count_mem.c
  LIBS msub_vectors meshsub-crypto_static)
if(TARGET vectors.go-signing)
  target_include_directories(vectors.go-signing PRIVATE ../support)
endif()
