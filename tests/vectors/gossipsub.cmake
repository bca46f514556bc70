msub_program_test(vectors.go-params TIER quick SOURCES go_params.c LIBS msub_vectors meshsub_static)
