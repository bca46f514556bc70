msub_program_test(vectors.wire-wire TIER quick SOURCES wire_wire.c LIBS msub_vectors msub_wire_test)
