package pooledotlp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"
	"google.golang.org/protobuf/encoding/protowire"
)

// indexKey is where the helper's queue keeps its index: a message (exporterhelper/internal/queue/meta.proto) with the number of the
// item to be read next, of the item to be written next, and of those that are being sent.
const (
	indexKey        = "qmv0"
	fieldReadIndex  = 3
	fieldWriteIndex = 4
)

// Get implements storage.Client. With it the queue asks for its index, once, at start. Whatever is not an index, an error included, it
// takes for an empty queue, and writes over the items that are there.
func (c *queueClient) Get(ctx context.Context, key string) ([]byte, error) {
	value, err := c.Client.Get(ctx, key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.starting || c.failed != nil {
		return value, err
	}
	if err == nil && key == indexKey && !isIndex(value) {
		value, err = c.rebuildIndex(ctx, value)
	}
	if err != nil {
		c.failed = fmt.Errorf("the queue on disk could not be restored and is left as it is: %w", err)
	}
	return value, err
}

// rebuildIndex returns an index of the items that are there, in their order, or what was found where there are none.
func (c *queueClient) rebuildIndex(ctx context.Context, found []byte) ([]byte, error) {
	walker, ok := c.Client.(storage.Walker)
	if !ok {
		if len(found) > 0 {
			return nil, errors.New("its index cannot be read, and this storage cannot list what it holds")
		}
		return nil, nil // a new queue, as far as one can tell
	}
	items, first, end := 0, uint64(math.MaxUint64), uint64(0)
	err := walker.Walk(ctx, func(key string, _ []byte) ([]*storage.Operation, error) {
		if n, err := strconv.ParseUint(key, 10, 64); err == nil {
			items, first, end = items+1, min(first, n), max(end, n+1)
		}
		return nil, nil
	})
	if err != nil || items == 0 {
		return nil, err
	}
	c.logger.Warn("The index of the queue on disk was lost and is made anew. Every request that is there is sent.", zap.Int("requests", items))
	index := protowire.AppendFixed64(protowire.AppendTag(nil, fieldReadIndex, protowire.Fixed64Type), first)
	return protowire.AppendFixed64(protowire.AppendTag(index, fieldWriteIndex, protowire.Fixed64Type), end), nil
}

// isIndex reports whether a value can be the queue's index.
func isIndex(value []byte) bool {
	var read, write uint64
	err := eachField(value, func(number protowire.Number, kind protowire.Type, value []byte) error {
		n, _ := protowire.ConsumeFixed64(value)
		switch {
		case number == fieldReadIndex && kind == protowire.Fixed64Type:
			read = n
		case number == fieldWriteIndex && kind == protowire.Fixed64Type:
			write = n
		case number <= fieldWriteIndex && kind != protowire.Fixed64Type:
			return errors.New("not an index")
		}
		return nil
	})
	return err == nil && len(value) > 0 && read <= write
}
