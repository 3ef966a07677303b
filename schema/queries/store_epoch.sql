-- The epoch that new changes carry.
SELECT epoch FROM store_state WHERE one = 1;
