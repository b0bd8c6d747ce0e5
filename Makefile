# SPDX-License-Identifier: GPL-2.0-only
# make            lamina.ko and the tool
# make run        boot a guest, on the hardware or in an emulated host
# make check      all tests
# make bench      figures against KVM
KDIR ?= $(shell scripts/kdir)

.PHONY: all modules user run check bench host clean

all: modules user

modules:
	+@$(MAKE) -C $(KDIR) M=$(CURDIR) modules

user:
	+@$(MAKE) -C user

run:
	@scripts/run

check:
	@scripts/check

bench:
	@scripts/bench

host:
	@scripts/host

clean:
	@$(MAKE) -C $(KDIR) M=$(CURDIR) clean
	@$(MAKE) -C user clean
	@rm -rf build
