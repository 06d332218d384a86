// Package atomicfile replaces files so that a kill in between leaves the old one whole.
package atomicfile

import (
	"fmt"
	"os"
	"path/filepath"
)

// Replace writes a file beside path and renames it into place. Two calls for one path must not run at the same time.
func Replace(path string, content []byte) error {
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return os.Rename(path+".new", path)
}
