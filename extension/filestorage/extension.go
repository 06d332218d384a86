package filestorage

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	stock "github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"
)

type fileStorage struct {
	storage.Extension
	cfg    *stock.Config
	logger *zap.Logger
}

// Start moves corrupt databases aside if the configuration says `recreate`. It comes before any component asks for its database, so
// none of them is open in this process.
func (s *fileStorage) Start(ctx context.Context, host component.Host) error {
	if s.cfg.Recreate {
		if err := s.setCorruptAside(); err != nil {
			return err
		}
	}
	return s.Extension.Start(ctx, host)
}

// databaseName matches the names that the stock extension gives: kind, type, name and signal of a component, or their hash.
// Whatever else is in the directory is not looked at.
var databaseName = regexp.MustCompile(`^((receiver|processor|exporter|connector|extension|other)_[\w.~-]*|[0-9a-f]{64})$`)

const backupSuffix = ".backup"

func (s *fileStorage) setCorruptAside() error {
	files, err := os.ReadDir(s.cfg.Directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the stock extension says so, or makes it
	}
	if err != nil {
		return err
	}
	for _, file := range files {
		if !file.Type().IsRegular() || !databaseName.MatchString(file.Name()) || filepath.Ext(file.Name()) == backupSuffix {
			continue
		}
		path := filepath.Join(s.cfg.Directory, file.Name())
		corruption, err := check(path, s.cfg.Timeout)
		if err != nil {
			s.logger.Warn("A database could not be checked.", zap.String("file", path), zap.Error(err))
		}
		if corruption == nil {
			continue
		}
		backup := path + "." + time.Now().UTC().Format("20060102T150405.000Z0700") + backupSuffix
		if err := os.Rename(path, backup); err != nil {
			return err
		}
		s.logger.Error("A database is corrupt and was moved aside. What is in it will not be sent.",
			zap.String("file", path), zap.String("backup", backup), zap.NamedError("corruption", corruption))
	}
	return nil
}
