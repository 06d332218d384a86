package filestorage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// check reads a database through and returns what is wrong with it. err is for what prevents looking: another process that holds the
// database, or missing rights.
//
// bbolt panics on what it does not expect, and reads the file through the memory: behind its end is a fault. Both are
// caught here, on this goroutine; when a database is opened to be written, bbolt checks it on another one, where nobody can.
func check(path string, timeout time.Duration) (corruption, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			corruption, err = fmt.Errorf("%v", p), nil
		}
	}()
	info, err := os.Stat(path)
	if err != nil || info.Size() == 0 {
		return nil, err // bbolt makes a database out of an empty file
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: timeout})
	if err != nil {
		return notADatabase(err)
	}
	defer func() { _ = db.Close() }()
	return db.View(func(tx *bbolt.Tx) error {
		if size := info.Size(); size < tx.Size() {
			return fmt.Errorf("the file ends after %d of %d bytes", size, tx.Size())
		}
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return readThrough(b) })
	}), nil
}

// notADatabase sorts the errors of opening a file.
func notADatabase(err error) (corruption, other error) {
	var path *fs.PathError
	var number syscall.Errno
	if errors.As(err, &path) || errors.As(err, &number) ||
		errors.Is(err, berrors.ErrTimeout) || errors.Is(err, berrors.ErrVersionMismatch) {
		return nil, err
	}
	return err, nil
}

// lastByte is where what is read goes, so that it is read.
var lastByte atomic.Uint32

// readThrough reads every key, and of every value the ends: what lies between is the component's own.
func readThrough(b *bbolt.Bucket) error {
	var last []byte
	return b.ForEach(func(key, value []byte) error {
		if bytes.Compare(last, key) >= 0 {
			return fmt.Errorf("key %q stands after %q", key, last)
		}
		last = key
		if len(value) > 0 {
			lastByte.Store(uint32(value[0]) + uint32(value[len(value)-1]))
		}
		return nil
	})
}
