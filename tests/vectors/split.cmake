msub_program_test(vectors.go-rpc-split TIER quick SOURCES go_split.c LIBS msub_vectors meshsub_static meshsub-crypto_static)
