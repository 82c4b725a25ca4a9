/* The yardstick of start-up: links what iotctl links and does nothing. */
int main(void)
{
	return 0;
}
