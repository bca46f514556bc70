msub_program_test(vectors.go-control TIER quick SOURCES go_control_main.c go_control.c go_control_items.c go_control_world.c go_control_compare.c
  score_params.c LIBS msub_vectors meshsub-crypto_static)
