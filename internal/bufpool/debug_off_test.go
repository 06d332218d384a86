//go:build !bufpooldebug

package bufpool

const poisons = false
