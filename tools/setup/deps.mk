# deps.mk: everything that Telepod takes from Debian, as variables and rules for the top Makefile, which
# includes it. Guarantees: newlib, lwIP, inih and Zydis are compiled with the very flags of the code that they
# are linked into, and no instruction in a kernel library touches the FPU, MMX or SSE.

SETUP := tools/setup
DEPS  := build/deps

# The products -------------------------------------------------------------------------------------

PACKAGES_STAMP    := $(DEPS)/packages.stamp
NEWLIB_INC        := $(DEPS)/newlib/include
NEWLIB_KERNEL_LIB := $(DEPS)/newlib/libc-kernel.a
NEWLIB_LOADER_LIB := $(DEPS)/newlib/libc-loader.a
LWIP_INC          := $(DEPS)/src/lwip/src/include
LWIP_LIB          := $(DEPS)/lwip/liblwip.a
INIH_INC          := $(DEPS)/src/inih
INIH_SRC          := $(DEPS)/src/inih/ini.c
INIH_LOADER_LIB   := $(DEPS)/inih/libinih-loader.a
INIH_KERNEL_LIB   := $(DEPS)/inih/libinih-kernel.a
ZYDIS_DIR         := $(DEPS)/src/zydis
ZYDIS_LIB         := $(DEPS)/zydis/libzydis.a
BOCHS             := $(DEPS)/bochs/bochs
BXHUB             := $(DEPS)/bochs/bxhub
FONT_PSF          := $(DEPS)/font/font.psf

# Read through their packages (packages.sh), so they have no rule here.
GNUEFI_INC   := /usr/include/efi
GNUEFI_LIB   := /usr/lib
GNUEFI_CRT0  := $(GNUEFI_LIB)/crt0-efi-x86_64.o
GNUEFI_LIBS  := $(GNUEFI_LIB)/libefi.a $(GNUEFI_LIB)/libgnuefi.a
# Recursive on purpose: gcc may not be there yet when this file is read.
GCC_INC       = $(shell gcc -print-file-name=include)

# Flags that the code and its libraries must agree on ----------------------------------------------

FREESTANDING_CFLAGS := -O2 -g -ffreestanding -mno-red-zone -mgeneral-regs-only -march=x86-64 \
    -fno-stack-protector -fno-omit-frame-pointer -fno-asynchronous-unwind-tables -fno-tree-vectorize \
    -ffunction-sections -fdata-sections -fcf-protection=none
KERNEL_CFLAGS_BASE  := $(FREESTANDING_CFLAGS) -mcmodel=kernel -fno-pic -fno-pie
LOADER_CFLAGS_BASE  := $(FREESTANDING_CFLAGS) -fpic -fshort-wchar
# newlib's headers and then gcc's own, instead of the host's.
LIBC_INC_FLAGS       = -nostdinc -isystem $(NEWLIB_INC) -isystem $(GCC_INC)
# inih: bounded lines on the stack, no heap; an error does not end the reading, so that all can be reported.
INIH_FLAGS          := -DINI_ALLOW_MULTILINE=0 -DINI_USE_STACK=1 -DINI_STOP_ON_FIRST_ERROR=0 \
    -DINI_MAX_LINE=256

# Zydis: the decoder, without what needs more tables or a C library. Zycore is headers only, of Debian's libzycore-dev.
ZYDIS_SRCS          := $(addprefix $(ZYDIS_DIR)/src/, Decoder.c DecoderData.c SharedData.c Register.c)
ZYCORE_INC          := $(DEPS)/zydis/include
ZYDIS_FLAGS         := -DZYAN_NO_LIBC -DZYDIS_STATIC_BUILD -DZYCORE_STATIC_BUILD -DZYDIS_DISABLE_ENCODER \
    -DZYDIS_DISABLE_FORMATTER -DZYDIS_DISABLE_AVX512 -DZYDIS_DISABLE_KNC -DNDEBUG \
    -isystem $(ZYDIS_DIR)/include -isystem $(ZYCORE_INC) -I$(ZYDIS_DIR)/src

# Foreign code: its warnings are its authors' business. A loop in memcpy() must not become a call of memcpy().
FOREIGN_CFLAGS := -std=gnu11 -w -fno-builtin -fno-tree-loop-distribute-patterns

# newlib's files, one function each so that a program can define its own instead -------------------

NEWLIB_BOTH := \
    $(addprefix string/, memccpy memchr memcmp memcpy memmem memmove mempcpy memrchr memset rawmemchr \
        strcasecmp strcasestr strcat strchr strchrnul strcmp strcpy strcspn strlcat strlcpy strlen \
        strncasecmp strncat strncmp strncpy strnlen strpbrk strrchr strsep strspn strstr strtok strtok_r \
        stpcpy stpncpy bzero bcmp explicit_bzero) \
    $(addprefix ctype/, ctype_ isalnum isalpha isascii isblank iscntrl isdigit islower isprint ispunct \
        isspace isupper isxdigit tolower toupper) \
    $(addprefix stdlib/, abs labs llabs div ldiv lldiv atoi atol atoll strtol strtoul strtoll strtoull \
        strtoimax strtoumax mbtowc_r wctomb_r) \
    $(addprefix stdio/, snprintf sprintf vsnprintf vsprintf svfiprintf) \
    $(addprefix locale/, locale localeconv) \
    $(addprefix search/, bsearch qsort) \
    errno/errno reent/impure

# The allocator (Doug Lea's, in one file that is compiled once a function). Its hooks are the kernel's:
# _sbrk_r, __malloc_lock and __malloc_unlock.
NEWLIB_KERNEL := $(NEWLIB_BOTH) \
    $(addprefix stdlib/, malloc calloc realloc malign msize) \
    $(addprefix mallocr/, MALLOC FREE REALLOC CALLOC MEMALIGN MALLINFO MALLOC_USABLE_SIZE MALLOPT) \
    $(addprefix string/, strdup strdup_r strndup strndup_r)

LWIP_FILES := \
    $(addprefix core/, def dns inet_chksum init ip mem memp netif pbuf raw stats sys tcp tcp_in tcp_out \
        timeouts udp altcp altcp_alloc altcp_tcp) \
    $(addprefix core/ipv4/, autoip dhcp etharp icmp igmp ip4 ip4_addr ip4_frag) \
    netif/ethernet

# lwIP is configured by our port; it is compiled again whenever a header there changes.
LWIP_PORT         := net/port
LWIP_PORT_HEADERS  = $(wildcard $(LWIP_PORT)/*.h $(LWIP_PORT)/arch/*.h)

# Rules --------------------------------------------------------------------------------------------

.PHONY: deps deps-check FORCE
deps: $(BOCHS) $(NEWLIB_KERNEL_LIB) $(NEWLIB_LOADER_LIB) $(LWIP_LIB) $(ZYDIS_LIB) \
    $(INIH_LOADER_LIB) $(INIH_KERNEL_LIB) $(FONT_PSF)

# Looked at in every run (20 ms), rewritten only if the list of packages has changed.
$(PACKAGES_STAMP): FORCE
	@$(SETUP)/packages.sh $@

SOURCES_STAMP := $(DEPS)/src/versions
$(SOURCES_STAMP): $(SETUP)/sources.sh | $(PACKAGES_STAMP)
	@$(SETUP)/sources.sh $(@D) && touch $@
$(INIH_SRC): $(SOURCES_STAMP) ;

$(BOCHS): $(SETUP)/bochs.sh $(wildcard $(SETUP)/bochs-mend*) | $(PACKAGES_STAMP)
	@$(SETUP)/bochs.sh $(@D) && touch $@
$(BXHUB): $(BOCHS) ;

$(FONT_PSF): $(SETUP)/font.sh | $(PACKAGES_STAMP)
	@$(SETUP)/font.sh $@ && touch $@

NEWLIB_HEADERS := $(NEWLIB_INC)/newlib.h
$(NEWLIB_HEADERS): $(SETUP)/newlib.sh $(SOURCES_STAMP)
	@echo "  CONF    newlib"
	@$(SETUP)/newlib.sh $(DEPS)/src/newlib $(NEWLIB_INC)

# Cuts a foreign file off from files and the heap.
NO_HOST := -include $(SETUP)/no-host.h

# foreign-cc FLAGS,SOURCE: compile one foreign file, with a short line instead of the command.
define foreign-cc
@mkdir -p $(@D)
@echo "  CC      $(patsubst $(DEPS)/%,%,$@)"
@gcc $(1) $(FOREIGN_CFLAGS) $(LIBC_INC_FLAGS) -c -o $@ $(2)
endef

# foreign-ar: an archive of all the objects, made anew so that no old member stays, and in place only when
# checked.
define foreign-ar
@echo "  AR      $(patsubst $(DEPS)/%,%,$@)"
@rm -f $@.new && ar rcsD $@.new $(filter %.o,$^) && $(SETUP)/no-fpu.sh $@.new && mv $@.new $@
endef

NEWLIB_LIBC := $(DEPS)/src/newlib/newlib/libc
# snprintf() calls the general formatter; here it gets the one without floating point.
NEWLIB_CPPFLAGS := -D_LIBC -DINTERNAL_NEWLIB -D_svfprintf_r=_svfiprintf_r \
    $(addprefix -I$(NEWLIB_LIBC)/, stdio locale stdlib)
NEWLIB_FORMATTER_FLAGS := $(NO_HOST) -DSTRING_ONLY -DINTEGER_ONLY

# newlib-rules FLAVOUR FLAGS: from source to archive.
define newlib-rules
$(DEPS)/newlib/$(1)/%.o: $(NEWLIB_HEADERS) $(SETUP)/deps.mk
	$$(call foreign-cc,$(2) $(NEWLIB_CPPFLAGS),$(NEWLIB_LIBC)/$$*.c)
$(DEPS)/newlib/$(1)/stdio/svfiprintf.o: $(NEWLIB_HEADERS) $(SETUP)/deps.mk
	$$(call foreign-cc,$(2) $(NEWLIB_CPPFLAGS) $(NEWLIB_FORMATTER_FLAGS),$(NEWLIB_LIBC)/stdio/vfprintf.c)
$(DEPS)/newlib/$(1)/mallocr/%.o: $(NEWLIB_HEADERS) $(SETUP)/deps.mk
	$$(call foreign-cc,$(2) $(NEWLIB_CPPFLAGS) -DDEFINE_$$*,$(NEWLIB_LIBC)/stdlib/mallocr.c)
endef
$(eval $(call newlib-rules,kernel,$(KERNEL_CFLAGS_BASE)))
$(eval $(call newlib-rules,loader,$(LOADER_CFLAGS_BASE)))

$(NEWLIB_KERNEL_LIB): $(NEWLIB_KERNEL:%=$(DEPS)/newlib/kernel/%.o)
	$(foreign-ar)
$(NEWLIB_LOADER_LIB): $(NEWLIB_BOTH:%=$(DEPS)/newlib/loader/%.o)
	$(foreign-ar)

$(DEPS)/lwip/%.o: $(NEWLIB_HEADERS) $(LWIP_PORT_HEADERS) $(SETUP)/deps.mk
	$(call foreign-cc,$(KERNEL_CFLAGS_BASE) -I. -I$(LWIP_PORT) -I$(LWIP_INC),$(DEPS)/src/lwip/src/$*.c)
$(LWIP_LIB): $(LWIP_FILES:%=$(DEPS)/lwip/%.o)
	$(foreign-ar)

$(DEPS)/inih/ini-kernel.o: $(NEWLIB_HEADERS) $(SETUP)/deps.mk
	$(call foreign-cc,$(KERNEL_CFLAGS_BASE) $(INIH_FLAGS) $(NO_HOST),$(INIH_SRC))
$(DEPS)/inih/ini-loader.o: $(NEWLIB_HEADERS) $(SETUP)/deps.mk
	$(call foreign-cc,$(LOADER_CFLAGS_BASE) $(INIH_FLAGS) $(NO_HOST),$(INIH_SRC))
$(DEPS)/inih/libinih-%.a: $(DEPS)/inih/ini-%.o
	$(foreign-ar)

# The host's other headers must not be found beside Zycore's.
ZYCORE_HEADERS := $(ZYCORE_INC)/Zycore/Zycore.h
$(ZYCORE_HEADERS): | $(PACKAGES_STAMP)
	@mkdir -p $(ZYCORE_INC) && ln -sfn /usr/include/Zycore $(ZYCORE_INC)/Zycore
$(ZYDIS_SRCS): $(SOURCES_STAMP) ;
$(DEPS)/zydis/%.o: $(NEWLIB_HEADERS) $(ZYCORE_HEADERS) $(SETUP)/deps.mk
	$(call foreign-cc,$(KERNEL_CFLAGS_BASE) $(ZYDIS_FLAGS),$(ZYDIS_DIR)/src/$*.c)
$(ZYDIS_LIB): $(patsubst $(ZYDIS_DIR)/src/%.c,$(DEPS)/zydis/%.o,$(ZYDIS_SRCS))
	$(foreign-ar)

# What the libraries promise, tried on the host with the kernel's flags.
DEPS_CHECK := $(DEPS)/check/check
$(DEPS_CHECK): $(SETUP)/check.c $(INIH_KERNEL_LIB) $(NEWLIB_KERNEL_LIB)
	@mkdir -p $(@D)
	@echo "  LD      $(patsubst $(DEPS)/%,%,$@)"
	@gcc -std=gnu11 $(KERNEL_CFLAGS_BASE) $(LIBC_INC_FLAGS) $(INIH_FLAGS) -I$(INIH_INC) \
	    -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	    -nostdlib -static -no-pie -Wl,--gc-sections,--build-id=none -o $@ $^
deps-check: $(DEPS_CHECK)
	@$(DEPS_CHECK)
