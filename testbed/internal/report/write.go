package report

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
)

// WriteAll writes report.md, report.html and benchmark.txt into a folder.
func WriteAll(dir, title string, r *result.Report) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return errors.Join(
		write(filepath.Join(dir, "report.md"), func(w io.Writer) error { return Markdown(w, title, r) }),
		write(filepath.Join(dir, "report.html"), func(w io.Writer) error { return HTML(w, title, r) }),
		write(filepath.Join(dir, "benchmark.txt"), func(w io.Writer) error { return Benchmark(w, r) }),
	)
}

func write(path string, content func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(content(f), f.Close())
}
