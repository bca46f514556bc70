msub_program_test(vectors.go-rpc-decode TIER quick SOURCES go_rpc_decode.c LIBS msub_vectors meshsub_static)
msub_program_test(vectors.wire-rpc TIER quick SOURCES wire_rpc.c LIBS msub_vectors meshsub_static)
