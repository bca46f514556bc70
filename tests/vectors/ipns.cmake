if(TARGET meshsub-lww_static)
  msub_program_test(vectors.ipns TIER quick SOURCES ipns.c LIBS msub_vectors meshsub-lww_static)
endif()
