if(COMMAND msub_fuzz AND TARGET msub_program)
  msub_fuzz(profile SOURCES fuzz_profile.c ${PROJECT_SOURCE_DIR}/cli/profile.c ${PROJECT_SOURCE_DIR}/cli/yaml.c
    LIBS msub_program meshsub-host PkgConfig::CYAML PkgConfig::YAML m)
endif()
