#include "registers.h"

/* The compiler runs in this folder, see build.py. */
__asm__(".section .rodata\n"
        ".global nodes_xml\n"
        ".hidden nodes_xml\n"
        ".global nodes_xml_end\n"
        ".hidden nodes_xml_end\n"
        "nodes_xml:\n"
        ".incbin \"nodes.xml\"\n"
        "nodes_xml_end:\n"
        ".byte 0\n"
        ".previous\n");
