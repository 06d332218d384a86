// Command testbed loads Collectors, checks what they deliver, and compares them. See README.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal ends the run in order, which a Collector that does not stop can draw out; the next one ends this process, and
	// the kernel then its children.
	context.AfterFunc(ctx, stop)
	code := cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
