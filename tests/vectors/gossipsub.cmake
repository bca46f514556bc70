msub_program_test(vectors.go-params TIER quick SOURCES go_params.c score_params.c LIBS msub_vectors meshsub_static)
msub_program_test(vectors.go-score TIER quick SOURCES go_score.c score_params.c LIBS msub_vectors meshsub_static m)
msub_program_test(vectors.go-promises TIER quick SOURCES go_promises.c LIBS msub_vectors meshsub_static)
