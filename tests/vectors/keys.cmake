msub_program_test(vectors.wire TIER quick SOURCES wire_keys.c LIBS msub_vectors msub_foundation)
