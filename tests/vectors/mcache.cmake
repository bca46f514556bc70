msub_program_test(vectors.go-mcache TIER quick SOURCES go_mcache.c LIBS msub_vectors meshsub_static)
